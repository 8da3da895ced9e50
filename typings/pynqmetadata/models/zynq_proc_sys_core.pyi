from collections.abc import Callable

class ZynqProcSysCore:
    clk_freq_param_name: Callable[[ZynqProcSysCore, int], str]
