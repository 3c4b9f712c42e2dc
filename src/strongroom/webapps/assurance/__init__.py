"""Update Assurance: an app is looked at, changed, looked at again; what broke is rolled back, and all of it reported."""
