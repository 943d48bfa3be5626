"""When an open loop's requests are sent: arrivals as plain functions of uniform numbers, and recorded ones."""
