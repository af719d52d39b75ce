"""Demonstrate tasks: scripted experts of WebShop and ScienceWorld, imported trajectories, and a budget between experts."""
