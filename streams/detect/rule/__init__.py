"""The rule: pure statistics that tell a link's trouble from its normal noise."""
