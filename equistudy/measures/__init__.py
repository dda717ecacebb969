"""How equivariant a network is: streaming, mergeable measures with intervals and floors."""
