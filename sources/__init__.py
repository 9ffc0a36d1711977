"""Where the user's torch modules come from: callables, libraries, files of weights, wrappers."""
