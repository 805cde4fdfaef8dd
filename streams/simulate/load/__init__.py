"""The load on a link: a provider's workers and queue, and how one attempt on a link ends."""
