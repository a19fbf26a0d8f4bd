"""The independent check behind `certify`: it shares no code with what it checks."""
