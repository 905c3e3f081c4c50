"""What lies in the folder of a posterior: a record in ``info.json`` and draws in ``draws.nc``, neither trusted."""
