"""The helpdesk's domain: what a ticket is, what may happen to it, and who decides. Pure: no database, no clock."""
