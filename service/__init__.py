"""rankwise as a service: an HTTP API, jobs, and a page. `Client` talks to one."""

from .client import Client as Client
