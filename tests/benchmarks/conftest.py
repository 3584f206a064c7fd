"""Prints the ratios that matter under pytest-benchmark's table."""

RATIOS = [
    ("engine[bb] / forward_limit", "test_engine[bb]", "test_forward_limit"),
    ("engine[bb] / naive[bb]", "test_engine[bb]", "test_naive[bb]"),
    ("engine[wb] / naive[wb]", "test_engine[wb]", "test_naive[wb]"),
    *(
        (
            f"brep, {kind} / one target at a time, {points}",
            f"test_brep[{kind}]",
            f"test_one_target_at_a_time[{kind}-{id}]",
        )
        for kind in ("whole", "walk")
        for points, id in (("32 points a call", "32_points"), ("1 point a call", "1_point"))
    ),
]
UNITS = {"images_per_s": "images a second", "trials_per_minute": "trials a minute"}


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    speed = {b.name: b.extra_info for b in session.benchmarks} if session else {}
    lines = [
        f"{label}: {speed[one][unit] / speed[other][unit]:.2f}  ({speed[one][unit]:,} / {speed[other][unit]:,} {words})"
        for label, one, other in RATIOS
        for unit, words in UNITS.items()
        if speed.get(one, {}).get(unit) and speed.get(other, {}).get(unit)
    ]
    if lines:
        terminalreporter.section("ratios")
        for line in lines:
            terminalreporter.write_line(line)
