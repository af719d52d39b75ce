"""Write the report of a run or a suite: tables, figures, case studies and what was trained on."""
