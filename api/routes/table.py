"""All routes."""

from __future__ import annotations

from api.routes import banks, casework, exchange, health, matching, pages
from api.routes.route import Route

ROUTES: tuple[Route, ...] = (
    *matching.ROUTES,
    *banks.ROUTES,
    *casework.ROUTES,
    *exchange.ROUTES,
    *health.ROUTES,
    *pages.ROUTES,
)
