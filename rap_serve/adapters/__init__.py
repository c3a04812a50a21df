"""The ports of ``rap_serve.domain`` on real products, one vendor per file. Foreign errors end here."""
