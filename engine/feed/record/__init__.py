"""The recorder: a live day into DBN segments and, behind them, a ring in shared memory; and the follower, who reads both.

Order of duty: socket, segment, ring. Nobody who reads can hold up the writer.
"""
