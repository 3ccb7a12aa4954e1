"""The admin port's own paths: asked by native, answered here."""
