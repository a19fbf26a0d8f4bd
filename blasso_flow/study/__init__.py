"""The paper's experiments (Chizat and Bach 2018), each as numbers and sentences; figures and files are made elsewhere.

Networks live here and nowhere else: the core knows spikes only.
"""
