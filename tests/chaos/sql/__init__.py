"""What a run on PostgreSQL, MariaDB or SQLite has of its own: tables, app, observers."""
