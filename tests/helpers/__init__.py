"""What the tests share: small programs in C, containers to run, and a look at the machine around them."""
