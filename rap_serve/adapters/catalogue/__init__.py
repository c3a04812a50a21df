"""What the service knows besides concepts, in a SQL database: tenants, keys, what is held, used and was done.

SQLite on one machine, PostgreSQL where gateways run on several.
"""
