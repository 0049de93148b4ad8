"""The event-driven, cycle-level chip simulator."""
