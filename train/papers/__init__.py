"""The papers' tables: trained again, and held against the published figures."""
