"""Fetching from addresses that strangers name, without becoming their way into the private network."""

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

import httpx

from rap_serve.domain.errors import InvalidImage, TooLarge, UnsafeImageUrl

_HTTPS_PORT = 443


async def fetch_public(url: str, *, limit_bytes: int, timeout_seconds: float) -> bytes:
    """The body behind an https URL.

    The name is resolved once, every address it has must be public, and the connection goes to the address
    that was checked, so that a name cannot change its mind in between. Redirects are not followed. Raises
    UnsafeImageUrl, TooLarge, or InvalidImage where nothing can be fetched.
    """
    host = _checked_host(url)
    try:
        async with asyncio.timeout(timeout_seconds):
            address = await _public_address(host)
            return await _fetch(url, host, address, limit_bytes, timeout_seconds)
    except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise InvalidImage("The picture's URL could not be fetched in time.") from error


def _checked_host(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or _HTTPS_PORT
    except ValueError as error:
        raise UnsafeImageUrl("The picture's URL cannot be read.") from error
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password:
        raise UnsafeImageUrl("A picture is given as a data URL or as an https URL without credentials.")
    if port != _HTTPS_PORT:
        raise UnsafeImageUrl("Pictures are fetched from port 443 only.")
    return parts.hostname


async def _public_address(host: str) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, _HTTPS_PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnsafeImageUrl("The host of the picture's URL is unknown.") from error
    addresses = [str(info[4][0]) for info in found]
    if not addresses or not all(is_public(a) for a in addresses):
        raise UnsafeImageUrl("The picture's URL points into a private network; that is not fetched.")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether ``address`` is one of the open internet; IPv4 inside IPv6 is looked into."""
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


async def _fetch(url: str, host: str, address: str, limit_bytes: int, timeout_seconds: float) -> bytes:
    pinned = httpx.URL(url).copy_with(host=address)
    async with (
        httpx.AsyncClient(timeout=timeout_seconds, follow_redirects=False, trust_env=False) as client,
        client.stream("GET", pinned, headers={"Host": host}, extensions={"sni_hostname": host}) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise InvalidImage(f"The picture's URL answered {response.status_code}.")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit_bytes:
                raise TooLarge(f"A picture is at most {limit_bytes:,} bytes; the URL sends more.")
        return bytes(body)
