"""From stored launches to statistics, comparisons, verdicts and pages."""
