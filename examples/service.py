"""A service of one function: `POST /predict` a sound file, get its labels. `uvicorn service:app`, in this folder."""

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

import quaclrs

app = FastAPI(title="QUACLRS")
classifier = quaclrs.load_classifier()


@app.post("/predict")
async def predict(request: Request, top_k: int = 3) -> list[dict]:
    try:
        return await run_in_threadpool(classifier.predict, await request.body(), top_k=top_k)
    except quaclrs.QuaclrsError as error:
        raise HTTPException(422, str(error)) from None
