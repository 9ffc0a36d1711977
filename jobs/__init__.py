"""Jobs of a service: the queue, the requests, what runs them, and the files that they work on."""
