"""The helpdesk's pages and HTTP interface."""
