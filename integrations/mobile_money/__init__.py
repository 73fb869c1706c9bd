"""Wallet operators: one package a protocol, each with its adapter and its simulator."""
