"""What the textbooks already say: imbalance, microprice, order flow, reversal, trade intensity. The others have to beat these."""
