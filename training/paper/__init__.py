"""The paper's tables: their figures, the runs behind them, and ours beside theirs."""
