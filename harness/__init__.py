"""The host controller: plans a study, drives the agents, stores what they measured."""
