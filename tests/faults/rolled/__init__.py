"""Production as it is deployed, two replicas behind one name, rolled one after the other under load."""
