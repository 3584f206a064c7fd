"""A defense that remembers callers: each account gets so many answers."""

from collections import Counter

import torch

from mia_bench import Defense


class Quota(Defense):
    """Refuse what an account asks beyond its first n images."""

    name = "quota"
    short = "n"
    refuses = True
    n: int = 100

    def wrap(self, service, prepared, rng):
        sent: Counter[int] = Counter()

        def answer(query):
            scores = service(query)
            for place, caller in enumerate(query.callers.tolist()):
                sent[caller] += 1
                if sent[caller] > self.n:
                    scores[place] = torch.nan
            return scores

        return answer
