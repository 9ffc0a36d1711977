"""What each verb may be told: one frozen class a verb, with a field for each option.

From it derive the verb's keywords in Python (`keywords.takes`), its command (`commands`), the
request of a job (`jobs.requests`), and what `--server` sends or refuses.
"""
