"""Texts, pictures and pages made from documents."""
