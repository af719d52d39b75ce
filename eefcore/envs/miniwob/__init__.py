"""MiniWoB++ (Shi et al. 2017, Liu et al. 2018): small web tasks that others wrote, played in Chromium by the actions of `envs.web`.

site        the pages of the package `miniwob`, as a site of their own
env         one task at a time
benchmark   tasks by page and seed, and their splits
"""
