"""The same input in every mode and with every form of handler: what each loses, doubles and costs.

The input and its rows are those of the example `stock_ledger`, the folder beside this one, without
the stages that follow there. `consumers` has the three forms of a handler, `variants` what there is
to compare, `worker` one process of it, and `compare` kills such processes and counts.
"""
