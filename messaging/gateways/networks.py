"""Networks as a setting names them."""

from ipaddress import IPv4Network, IPv6Network, ip_network

__all__ = ["Network", "parse_networks"]

Network = IPv4Network | IPv6Network


def parse_networks(text: str) -> tuple[Network, ...]:
    """The networks of a setting: CIDR notation, commas between. Raises ValueError for anything else."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"{error}, write networks like 10.20.0.0/16, with commas between") from None
