"""The folder of a posterior: a record in ``info.json`` and draws in ``draws.nc``. Neither is trusted."""
