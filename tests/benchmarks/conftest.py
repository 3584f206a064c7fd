"""Prints the ratios that matter under pytest-benchmark's table."""

RATIOS = [
    ("engine[bb] / forward_limit", "test_engine[bb]", "test_forward_limit"),
    ("engine[bb] / naive[bb]", "test_engine[bb]", "test_naive[bb]"),
    ("engine[wb] / naive[wb]", "test_engine[wb]", "test_naive[wb]"),
]


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    speed = {b.name: b.extra_info.get("images_per_s") for b in session.benchmarks} if session else {}
    lines = [
        f"{label}: {speed[one] / speed[other]:.2f}  ({speed[one]:,} / {speed[other]:,} images a second)"
        for label, one, other in RATIOS
        if speed.get(one) and speed.get(other)
    ]
    if lines:
        terminalreporter.section("ratios")
        for line in lines:
            terminalreporter.write_line(line)
