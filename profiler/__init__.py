"""What to measure, how long, and the process that does it.

`candidates` chooses, `executor` prepares and times (here or in a child process), `stopping` says
when a pair has been timed enough, `session` plays the rounds, `sweep` joins the sessions.
Nothing here knows the store: the caller commits each event as it comes.
"""
