"""`{prefix}/sample_chores/`: the chores that I own."""

from myapp.core import CrudResource, FeatureApi

from .models import SampleChore

chores = FeatureApi("sample_chores", "Chores of an account.", owned=True)
CrudResource.register(chores, SampleChore, one="a chore")
