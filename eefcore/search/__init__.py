"""Tree search over pages, and what is learnt from it (Agent Q §5).

settings     how a tree is grown, and what its search may know
tree         what was proposed where, how often it was tried and what came of it, as plain data
mcts         select, expand, back up: eq. 6, 7 and 9, on that data
talks        many conversations with a policy side by side, none waiting for another
critic       actions ranked by best of the rest (§5.1.1)
guard        what can't be undone is done only where it can be
worlds       what a search may see of an environment: its rewards, or not
simulation   one simulation, from a leaf to the end of an episode
growth       many trees at once
trunk        a failed expert's trajectory as the main branch
play         search at test time: grow, act, go on from there
pairs        preference pairs at nodes and of trajectories (§5.2)
tally, cost  what it took
"""
