"""The rule: pure statistics that distinguish a link's trouble from its normal noise."""
