"""A defense that remembers images: an image that was asked about before gets the answer it got then."""

import torch

from mia_bench import Defense


class ImageCache(Defense):
    """Answer each image once, and from memory afterwards."""

    name = "image-cache"

    def wrap(self, service, prepared, rng):
        known: dict[bytes, torch.Tensor] = {}

        def answer(query):
            keys = [image.cpu().numpy().tobytes() for image in query.images]
            fresh = [place for place, key in enumerate(keys) if key not in known]
            if fresh:
                known.update(
                    zip((keys[place] for place in fresh), service(query.take(torch.tensor(fresh))), strict=True)
                )
            return torch.stack([known[key] for key in keys])

        return answer
