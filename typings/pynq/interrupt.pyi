from collections.abc import Callable

get_uio_irq: Callable[[int], str | None]
