"""Compiled code on a line or a circle: responses, certificate, Newton steps and error bars of spikes with one coordinate."""
