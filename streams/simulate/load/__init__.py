"""What a link bears: a provider's workers and its queue, and how one attempt on a link ends."""
