"""A defense that sees images: the service looks at the mirror image."""

from mia_bench import Defense


class Mirror(Defense):
    """Answer for the mirror image."""

    name = "mirror"

    def wrap(self, service, prepared, rng):
        return lambda query: service(query.with_images(query.images.flip(-1)))
