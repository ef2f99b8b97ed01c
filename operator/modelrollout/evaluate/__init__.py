"""Quality: golden cases, scorers, judges, paired statistics and reports. Pure: it asks nobody anything."""
