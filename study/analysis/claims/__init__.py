"""The paper's claims, and what the trials of a study say of each: supported, contradicted, inconclusive, untestable."""
